"""Uses python-glanceclient as a library: glanceclient_library.py URL TOKEN INPUT. Prints as JSON what came of it."""
import json
import sys

import glanceclient

url, token, text = sys.argv[1:]
wanted = json.loads(text)
image = wanted['image_uuid']


def client(a_token):
    return glanceclient.Client('2', endpoint=url, token=a_token)


def refusal(act):
    try:
        act()
    except Exception as error:
        return type(error).__name__
    return 'nothing'


mine = client(token)
task = mine.tasks.create(type='export', input=wanted)
listed = list(mine.tasks.list(filters={'type': 'export', 'status': 'pending'}, sort_key='id', sort_dir='desc'))
paged = list(mine.tasks.list(page_size=1))
unknown = '11111111-1111-4111-8111-111111111111'
nobody = client('nobody')

print(json.dumps({
    'created': task.status,
    'shown': mine.tasks.get(task.id).status,
    'listed': task.id in [one.id for one in listed],
    'paged': sorted(one.id for one in paged) == sorted(one.id for one in listed),
    'of_image': task.id in [one['id'] for one in mine.images.get_associated_image_tasks(image)['tasks']],
    'refused': {
        'missing': refusal(lambda: mine.tasks.get(unknown)),
        'foreign': refusal(lambda: client('bob:other:member').tasks.get(task.id)),
        'reader': refusal(lambda: client('bob:demo:reader').tasks.create(type='export', input=wanted)),
        'nobody': refusal(lambda: nobody.http_client.get('/v2/tasks')),
        'marker': refusal(lambda: list(mine.tasks.list(marker=unknown))),
        'input': refusal(lambda: mine.tasks.create(type='export', input={'export_format': 'floppy'})),
        'image_in_use': refusal(lambda: mine.images.delete(image)),
        'too_large': refusal(lambda: mine.tasks.create(type='export', input={**wanted, 'x': 'y' * 70_000})),
    },
}))
