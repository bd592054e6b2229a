"""A real Glance, as Debian packages it, to compare with: glance_server.py --config-file FILE.

Changed are only who may come in, and that a task is stored and not begun, since none of ours is begun either.
"""
from urllib.parse import unquote


class DevTokens:
    """Paste filter: X-Auth-Token is user:project:role[,role], as the service takes it for development."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        user, project, roles = unquote(environ['HTTP_X_AUTH_TOKEN']).split(':')
        environ.update(HTTP_X_IDENTITY_STATUS='Confirmed', HTTP_X_USER_ID=user, HTTP_X_PROJECT_ID=project,
                       HTTP_X_ROLES=roles)
        return self.app(environ, start_response)


def dev_tokens(global_conf, **local_conf):
    return DevTokens


if __name__ == '__main__':
    from glance.cmd import api  # it patches the standard library, so it comes first
    from glance.async_ import TaskExecutor

    TaskExecutor.begin_processing = lambda self, task_id: None
    api.main()
