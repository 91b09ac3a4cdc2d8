"""An SMTP server that takes mail over TLS from "cnnf" with "correct horse", and prints each as a line of JSON. Ends with its standard input."""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Printer:
    async def handle_DATA(self, server, session, envelope):
        told = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "text": envelope.content.decode(),
            "user": session.auth_data.login.decode(),
        }
        print(json.dumps(told), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"cnnf", b"correct horse")
    return AuthResult(success=good, handled=False, auth_data=data)


async def main(mode, certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    outer, inner = (context, None) if mode == "tls" else (None, context)

    def serve():
        # With TLS from the beginning the server does not know that there is any.
        wants = {"auth_required": True, "authenticator": authenticate, "auth_require_tls": inner is not None}
        return SMTP(Printer(), tls_context=inner, require_starttls=inner is not None, **wants)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=outer)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main(*sys.argv[1:]))
