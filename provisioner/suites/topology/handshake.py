"""Runs on a host: does each address present a certificate of this CA on port 2377? Arguments: CA (PEM), addresses."""

import socket
import ssl
import sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False  # swarm's certificates name node ids, not hosts
context.load_verify_locations(cadata=sys.argv[1])
context.set_alpn_protocols(["h2"])
for address in sys.argv[2:]:
    try:
        with socket.create_connection((address, 2377), 3) as plain, context.wrap_socket(plain):
            print(address, "ok")
    except OSError as error:
        print(address, error)
