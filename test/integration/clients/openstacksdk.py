"""Uses openstacksdk: openstacksdk.py LOGIN URL TOKEN INPUT REFUSAL. Prints as JSON what came of it.

LOGIN: `override` and `token` go to the service at URL without Keystone, `password` to Keystone at URL.
"""
import json
import sys

import openstack
from keystoneauth1 import session, token_endpoint

login, url, token, text, refusal = sys.argv[1:]
wanted = json.loads(text)

if login == 'password':
    cloud = openstack.connection.Connection(
        auth={'auth_url': url, 'username': 'alice', 'password': 'secret', 'project_name': 'demo',
              'user_domain_id': 'default', 'project_domain_id': 'default'},
        region_name='RegionOne')
elif login == 'token':
    cloud = openstack.connection.Connection(auth_type='admin_token', auth={'endpoint': f'{url}/v2', 'token': token})
else:
    cloud = openstack.connection.Connection(
        session=session.Session(auth=token_endpoint.Token(url, token)), image_endpoint_override=url)


def error(act):
    try:
        act()
    except Exception as raised:
        return type(raised).__name__
    return 'nothing'


task = cloud.image.create_task(type='export', input=wanted)
created = [task.type, task.status, task.owner_id]
waited = cloud.image.wait_for_task(task, interval=0.2)
doomed = cloud.image.create_task(type='export', input={**wanted, 'export_to': refusal})

print(json.dumps({
    'created': created,
    'waited': waited.status,
    'failed': error(lambda: cloud.image.wait_for_task(doomed, interval=0.2)),
    'listed': {task.id, doomed.id} <= {one.id for one in cloud.image.tasks(limit=1)},
    'filtered': sorted({one.status for one in cloud.image.tasks(status='failure', type='export')}),
    'missing': error(lambda: cloud.image.get_task('11111111-1111-4111-8111-111111111111')),
    'schemas': [cloud.image.get_task_schema().name, cloud.image.get_tasks_schema().name],
}))
