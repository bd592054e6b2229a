"""One call of openstacksdk: openstacksdk_step.py URL TOKEN list|schema|show TASK."""
import json
import sys

import openstack
from keystoneauth1 import session, token_endpoint

url, token, step, task = sys.argv[1:]
image = openstack.connection.Connection(
    session=session.Session(auth=token_endpoint.Token(url, token)), image_endpoint_override=url).image
steps = {
    'list': lambda: len(list(image.tasks(limit=1))),
    'schema': lambda: image.get_task_schema().name,
    'show': lambda: image.get_task(task).status,
}
print(json.dumps(steps[step]()))
