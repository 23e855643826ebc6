#!/usr/bin/env python3
"""A program outside of Shipway that follows its events; the standard library is all it needs.

    consume.py [options] nats://127.0.0.1:4222 <the log's id> <a file for the position> [<the consumer's name>]

    --ca FILE                  the authority that signed the servers' certificates; TLS, whatever the URL says
    --cert FILE --key FILE     this program's own certificate and its key, which infra/nats/production.conf asks for
    --user NAME                who enters; instead of nats://user:password@… in the URL
    --password-file FILE       with that password: its first line. In an argument everybody on the machine could read it

With tls:// instead of nats:// and no --ca, the system's authorities are asked. It prints a line per event: position,
type, stream, data. The rules that make it right, whatever happens to NATS, are those of
services/common/eventing/examples/consume.rs:

1. Keep the position of the last event that was handled, together with the effect; ack afterwards. A message with a
   position up to that is a repetition.
2. A message names the position before it. If that is not the last one handled, read what did not come from Shipway
   (gRPC: shipway.v1.Events/ReadEvents with `after` and `limit`), then go on. Here it is only printed: `gap <first>
   <last>`.
3. A higher generation: Shipway was restored from a backup, and what came after the position before that message was
   never so.
4. A consumer or a stream that is gone is made anew, from the first message there is.
"""

import argparse
import hashlib
import json
import os
import socket
import ssl
import sys
import time
import urllib.parse


class Nats:
    """As much of NATS' protocol as a pull consumer needs."""

    def __init__(self, url, entry):
        place = urllib.parse.urlparse(url)
        self.socket = socket.create_connection((place.hostname, place.port or 4222), timeout=15)
        if entry.tls or place.scheme == "tls":
            # The server speaks first, in the open; what follows is TLS.
            while not self.socket.recv(1).endswith(b"\n"):
                pass
            context = entry.tls or ssl.create_default_context()
            self.socket = context.wrap_socket(self.socket, server_hostname=place.hostname)
        self.file = self.socket.makefile("rb")
        self.inbox = "_INBOX." + os.urandom(12).hex()
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                   "lang": "python", "version": "1", "name": "consume.py"}
        user, password = entry.user, entry.password
        if not user and place.username:
            user, password = urllib.parse.unquote(place.username), urllib.parse.unquote(place.password or "")
        if user:
            options.update(user=user, **{"pass": password})
        self.socket.sendall(b"CONNECT %s\r\nSUB %s.* 1\r\n" % (json.dumps(options).encode(), self.inbox.encode()))

    def publish(self, subject, data=b"", reply=""):
        self.socket.sendall(b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(data), data))

    def next(self):
        """The next message: subject, reply, status, headers, data. Raises if the server is silent for 15 s."""
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("the server closed the connection")
            words = line.split()
            operation = words[0].upper() if words else b""
            if operation == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif operation == b"-ERR":
                raise ConnectionError(line.decode().strip())
            elif operation in (b"MSG", b"HMSG"):
                body = self.file.read(int(words[-1]) + 2)[:-2]
                counts = 2 if operation == b"HMSG" else 1
                subject = words[1].decode()
                reply = words[3].decode() if len(words) == 4 + counts else ""
                if operation == b"MSG":
                    return subject, reply, "", {}, body
                split = int(words[-2])
                status, *lines = body[:split].decode().split("\r\n")
                headers = {}
                for entry in lines:
                    name, colon, value = entry.partition(":")
                    if colon:
                        headers[name.lower()] = value.strip()
                return subject, reply, status.removeprefix("NATS/1.0").strip(), headers, body[split:]

    def ask(self, subject, question):
        """Asks JetStream's API; raises with what it does not like."""
        reply = "%s.%s" % (self.inbox, os.urandom(4).hex())
        self.publish(subject, json.dumps(question).encode(), reply)
        while True:
            came, _, status, _, data = self.next()
            if came == reply:
                answer = json.loads(data) if data else {"error": {"description": status or "no answer"}}
                if "error" in answer:
                    raise ConnectionError("%s: %s" % (subject, answer["error"].get("description")))
                return answer


class Entry:
    """How this program enters: as whom, and over what kind of connection."""

    def __init__(self, arguments):
        self.user, self.password, self.tls = arguments.user, "", None
        if arguments.password_file:
            with open(arguments.password_file, encoding="utf-8") as text:
                self.password = text.readline().rstrip("\r\n")
        if arguments.ca or arguments.cert:
            self.tls = ssl.create_default_context(cafile=arguments.ca)
        if arguments.cert:
            self.tls.load_cert_chain(arguments.cert, arguments.key)


class Place:
    """How far this program is. In a real one it is kept in the transaction of the effect."""

    def __init__(self, file):
        self.file, self.position, self.generation = file, 0, 0
        if os.path.exists(file):
            with open(file, encoding="ascii") as text:
                self.position, self.generation = map(int, text.read().split())

    def save(self):
        with open(self.file + ".new", "w", encoding="ascii") as text:
            text.write("%d %d\n" % (self.position, self.generation))
        os.replace(self.file + ".new", self.file)


def handle(headers, data, place):
    position, previous = int(headers["shipway-position"]), int(headers["shipway-prev"])
    generation = int(headers["shipway-generation"])
    if generation > place.generation:
        place.generation, place.position = generation, min(place.position, previous)
    if generation < place.generation or position <= place.position:
        return
    if previous > place.position:
        print("gap", place.position + 1, previous)
    # Over 256 KiB or erased: the data is not in the message. ReadEvents has it, if anybody has.
    what = headers.get("shipway-data")
    print(position, headers["ce-type"], headers["ce-subject"], "(%s)" % what if what else data.decode(), flush=True)
    place.position = position


def follow(url, entry, log, place, name):
    token = hashlib.sha256(log.encode()).digest()[:6].hex()
    stream, subjects = "SHIPWAY_EVENTS_" + token.upper(), "shipway.ev.%s.>" % token
    nats = Nats(url, entry)
    wanted = {"durable_name": name, "deliver_policy": "all", "ack_policy": "explicit", "ack_wait": 30_000_000_000,
              "max_ack_pending": 256, "max_deliver": -1, "filter_subject": subjects, "replay_policy": "instant"}
    made = nats.ask("$JS.API.CONSUMER.DURABLE.CREATE.%s.%s" % (stream, name), {"stream_name": stream, "config": wanted})
    for field, value in wanted.items():
        # An old server ignores what it does not know, and a consumer of the name may have been there before.
        if made["config"].get(field) != value:
            raise ConnectionError("the consumer %s has another %s; delete it" % (name, field))
    pull = json.dumps({"batch": 100, "expires": 5_000_000_000, "idle_heartbeat": 1_000_000_000}).encode()
    while True:
        asked = "%s.%s" % (nats.inbox, os.urandom(4).hex())
        nats.publish("$JS.API.CONSUMER.MSG.NEXT.%s.%s" % (stream, name), pull, asked)
        left = 100
        while left:
            _, reply, status, headers, data = nats.next()
            if status.startswith("100"):  # a heartbeat
                continue
            if status.startswith("408"):  # nothing came in that time
                break
            if status:
                raise ConnectionError("the consumer ended: " + status)
            handle(headers, data, place)
            place.save()
            nats.publish(reply, b"+ACK")
            left -= 1


def main():
    parser = argparse.ArgumentParser(usage="consume.py [options] <NATS URL> <the log's id> <file for the position> [<consumer>]")
    for name in ("url", "log", "file"):
        parser.add_argument(name)
    parser.add_argument("name", nargs="?", default="consume-py")
    for option in ("--ca", "--cert", "--key", "--user", "--password-file"):
        parser.add_argument(option)
    arguments = parser.parse_args()
    entry, place = Entry(arguments), Place(arguments.file)
    while True:
        try:
            follow(arguments.url, entry, arguments.log, place, arguments.name)
        except (OSError, ValueError) as error:
            print("consume.py: %s; trying again" % error, file=sys.stderr)
        time.sleep(0.25)


if __name__ == "__main__":
    main()
