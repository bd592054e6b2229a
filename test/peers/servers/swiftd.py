#!/usr/bin/python3
"""swiftd.py ETC NAME[:CONF]...

Runs servers of OpenStack Swift (account-server, container-server, object-server, proxy-server), one process each, forked
from one parent that has imported Swift already: that starts them in a quarter of the time. swift.conf and the rings come
from ETC and not from /etc/swift, so that several Swifts can live side by side, without root.
TERM to the parent ends all; so does its death.
"""
import ctypes
import gc
import importlib
import os
import signal
import sys

from swift.common import utils

etc = os.path.abspath(sys.argv[1])
# Before anything reads the hash prefix or the policies: the path is fixed in the module.
utils.SWIFT_CONF_FILE = os.path.join(etc, 'swift.conf')
utils.HASH_PATH_PREFIX = utils.HASH_PATH_SUFFIX = b''
utils.validate_hash_conf()

from swift.common import constraints, storage_policy  # noqa: E402
constraints.reload_constraints()
storage_policy.reload_storage_policies()
from swift.common.wsgi import run_wsgi  # noqa: E402

for name in ('account', 'container', 'obj', 'proxy'):
    importlib.import_module('swift.%s.server' % name)
gc.freeze()

PR_SET_PDEATHSIG = 1
children = {}


def end(*_):
    for child in children:
        try:
            os.kill(child, signal.SIGTERM)
        except OSError:
            pass
    os._exit(0)


for spec in sys.argv[2:]:
    name, _, conf = spec.partition(':')
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        sys.exit(run_wsgi(os.path.join(etc, conf or name + '.conf'), name, verbose=True))
    children[pid] = spec
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)
pid, status = os.wait()
sys.stderr.write('%s exited with status %d\n' % (children.pop(pid), status))
end()
