#!/usr/bin/python3
"""swift-rings.py ETC DEVICES OBJECT_PORT CONTAINER_PORT ACCOUNT_PORT: writes rings of one device to ETC."""
import os
import sys

from swift.common.ring import RingBuilder

etc, devices = sys.argv[1:3]
probe = os.path.join(devices, 'sdb1', 'probe')
open(probe, 'w').close()
os.setxattr(probe, 'user.probe', b'1' * 3000)  # Swift keeps its metadata so: better said here than at the first PUT
os.unlink(probe)
for name, port in zip(('object', 'container', 'account'), map(int, sys.argv[3:6])):
    ring = RingBuilder(4, 1, 1)  # 2^4 partitions, 1 replica, 1 h
    ring.add_dev(dict(id=0, region=1, zone=1, ip='127.0.0.1', port=port, replication_ip='127.0.0.1',
                      replication_port=port, device='sdb1', weight=100, meta=''))
    ring.rebalance(seed=1)
    ring.get_ring().save(os.path.join(etc, name + '.ring.gz'))
