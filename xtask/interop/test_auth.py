"""Who a client is: SASL logins by kazoo, Java's client and raw frames, super users, and servers that
demand an identity."""

import hashlib
import re
import struct
import subprocess

from kazoo.exceptions import AuthFailedError, InvalidACLError, NoAuthError
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, make_acl, make_digest_acl

from clients import Raw, client, string
from harness import alone, check, equal, raises

AUTH, SASL, PING, CREATE, GET_DATA, CLOSE, WHO_AM_I = 100, 102, 11, 1, 4, -11, 107
AUTH_FAILED, REQUIRED = -115, -124
NULL = struct.pack(">i", -1)
PROVIDER = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"

SERVER_JAAS = """\
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_bob="bob \\"secret\\"" // quoted
    user_root="toor";
};
"""
CLIENT_JAAS = """\
Client {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    username="bob"
    password="%s";
};
"""
PASSWORD = 'bob "secret"'


def with_users(context, size: int, kinds: list[str] | None = None, **more: str):
    jaas = context.home() / "server.jaas"
    jaas.write_text(SERVER_JAAS)
    settings = {"authProvider.1": PROVIDER, "java.security.auth.login.config": str(jaas),
                "superUser.1": "root",
                "DigestAuthenticationProvider.superDigest": "super:D/InIHSb7yEEbrWz8b9l71RjZJU="}
    return context.ensemble(size, kinds, **settings, **more)


def user(name: str, password: str) -> dict:
    return {"sasl_options": {"mechanism": "DIGEST-MD5", "username": name, "password": password}}


def a_follower(ensemble):
    return next(s for s in ensemble.servers if s.mode() in ("follower", "standalone"))


# ---- RFC 2831, the client's half ----

def answer(challenge: bytes, name: str, password: str) -> bytes:
    md5 = lambda data: hashlib.md5(data).digest()
    nonce = re.search(rb'nonce="([^"]*)"', challenge).group(1)
    uri, cnonce = b"zookeeper/zk-sasl-md5", b"OA6MHXh6VqTrRk"
    secret = md5(f"{name}:zk-sasl-md5:{password}".encode())
    a1 = md5(secret + b":" + nonce + b":" + cnonce).hex().encode()
    a2 = md5(b"AUTHENTICATE:" + uri).hex().encode()
    response = md5(b":".join([a1, nonce, b"00000001", cnonce, b"auth", a2])).hex().encode()
    return (b'charset=utf-8,username="%s",realm="zk-sasl-md5",nonce="%s",nc=00000001,cnonce="%s",'
            b'digest-uri="%s",maxbuf=65536,response=%s,qop=auth'
            % (name.encode(), nonce, cnonce, uri, response))


def buffer(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def log_in(raw: Raw, name: str, password: str):
    """Header of the last answer, and its body."""
    xid, zxid, error, body = raw.request(1, SASL, buffer(b""))
    equal("the challenge's header", (xid, zxid, error), (1, 0, 0))
    challenge = body[4:]
    check("the challenge is Java's", re.fullmatch(
        rb'realm="zk-sasl-md5",nonce="[A-Za-z0-9+/]{40}",charset=utf-8,algorithm=md5-sess', challenge),
        challenge)
    xid, zxid, error, body = raw.request(2, SASL, buffer(answer(challenge, name, password)))
    return (xid, zxid, error), body


def opened(server) -> Raw:
    raw = Raw(server.client_port)
    raw.connect()
    return raw


def is_closed(raw: Raw) -> bool:
    return raw.receive() is None


# ---- kazoo ----

@alone
def kazoo_logs_in(context):
    """At one server and through a follower: the leader judges by the identity that came along."""
    for size in (1, 3):
        with with_users(context, size) as ensemble:
            host = a_follower(ensemble).host
            other = ensemble.leader().host
            with client(host, **user("root", "toor")) as root:
                root.create("/closed", b"x", acl=[make_digest_acl("nobody", "x", all=True)])
                equal("root is super", root.get("/closed")[0], b"x")
                equal("and sees hashes", len(root.get_acls("/closed")[0][0].id.id), len("nobody:") + 28)
            if size == 1:
                # pure-sasl cannot quote a quote.
                continue
            with client(host) as nobody:
                raises("who did not log in has no id", InvalidACLError, nobody.create, "/n",
                       acl=CREATOR_ALL_ACL)
                raises("and may not read", NoAuthError, nobody.get, "/closed")
                nobody.create("/bobs", b"y", acl=[make_acl("sasl", "root", all=True)])
                raises("nor look into what it made for another", NoAuthError, nobody.get, "/bobs")
                nobody.add_auth("digest", "super:test")
                equal("the super digest may", nobody.get("/closed")[0], b"x")
                nobody.delete("/closed")
            with client(other, **user("root", "toor")) as root:
                root.sync("/bobs")
                root.create("/bobs/own", acl=CREATOR_ALL_ACL)
                [entry] = root.get_acls("/bobs/own")[0]
                equal("auth became the login", (entry.perms, entry.id.scheme, entry.id.id),
                      (31, "sasl", "root"))
                root.delete("/bobs", recursive=True)


# ---- raw frames ----

@alone
def a_login_word_for_word(context):
    with with_users(context, 1) as ensemble:
        server = ensemble.number(1)
        with opened(server) as raw:
            header, body = log_in(raw, "bob", PASSWORD)
            equal("the last header", header, (2, 0, 0))
            check("the server knows the password", re.fullmatch(rb"rspauth=[0-9a-f]{32}", body[4:]), body)
            answered = raw.request(3, WHO_AM_I)
            equal("whoAmI succeeds", answered[2], 0)
            check("the user is bob", string("sasl") + string("bob") in answered[3], answered[3])
            equal("a second login fails", raw.request(4, SASL, buffer(b""))[:3], (4, 0, AUTH_FAILED))
            check("and closes", is_closed(raw))
        for name, password in (("bob", "wrong"), ("eve", PASSWORD)):
            with opened(server) as raw:
                header, body = log_in(raw, name, password)
                equal(f"{name} with {password!r} fails", header, (2, 0, AUTH_FAILED))
                equal("with a null token", body, NULL)
                check("and the connection is closed", is_closed(raw))
        for what, body in (("a null token", NULL), ("no token", b"")):
            with opened(server) as raw:
                raw.send(struct.pack(">ii", 1, SASL) + body)
                check(f"{what} closes without a word", is_closed(raw))
        with opened(server) as raw:
            raw.send(struct.pack(">iii", -4, AUTH, 0) + string("sasl") + buffer(b"bob"))
            equal("no login by an auth packet", struct.unpack(">iqi", raw.receive()), (-4, 0, AUTH_FAILED))
            check("which closes", is_closed(raw))
        with opened(server) as raw:
            raw.send(struct.pack(">iii", -4, AUTH, 0) + string("digest") + NULL)
            equal("null credentials", struct.unpack(">iqi", raw.receive()), (-4, 0, AUTH_FAILED))
            check("close", is_closed(raw))


@alone
def a_failed_login_may_stay(context):
    with with_users(context, 1, allowSaslFailedClients="true") as ensemble:
        with opened(ensemble.number(1)) as raw:
            header, body = log_in(raw, "bob", "wrong")
            equal("a failed login is answered as if none could be had", (header, body), ((2, 0, 0), NULL))
            equal("and the client goes on", raw.request(3, GET_DATA, string("/") + b"\0")[2], 0)
            equal("a second try is no better", raw.request(4, SASL, buffer(b""))[2:], (0, NULL))


@alone
def a_server_without_logins(context):
    with context.ensemble(1) as ensemble:
        with opened(ensemble.number(1)) as raw:
            for token in (b"", b"whatever"):
                xid, zxid, error, body = raw.request(1, SASL, buffer(token))
                equal("any token is answered by null", (xid, zxid, error, body), (1, 0, 0, NULL))
        with client(ensemble.hosts) as zk:
            raises("no list names its users", InvalidACLError, zk.create, "/s",
                   acl=[make_acl("sasl", "bob", all=True)])


@alone
def identities_are_demanded(context):
    create = string("/x") + NULL + struct.pack(">ii", 1, 31) + string("world") + string("anyone") + bytes(4)
    for settings in ({"sessionRequireClientSASLAuth": "true", "allowSaslFailedClients": "true"},
                     {"enforce.auth.enabled": "true", "enforce.auth.schemes": "sasl"}):
        with with_users(context, 1, **settings) as ensemble:
            server = ensemble.number(1)
            for what, xid, opcode, body in (("a ping", -2, PING, b""), ("closeSession", 7, CLOSE, b""),
                                            ("create", 8, CREATE, create)):
                with opened(server) as raw:
                    equal(f"{what} is refused", raw.request(xid, opcode, body)[:3], (xid, 0, REQUIRED))
                    check("and the connection is closed", is_closed(raw))
            with opened(server) as raw:
                header, body = log_in(raw, "bob", "wrong")
                equal("a login that fails", (header, body), ((2, 0, REQUIRED), NULL))
                check("closes", is_closed(raw))
            with opened(server) as raw:
                equal("a login that succeeds", log_in(raw, "bob", PASSWORD)[0], (2, 0, 0))
                equal("lets everything in", raw.request(3, GET_DATA, string("/") + b"\0")[2], 0)
    with context.ensemble(1, **{"enforce.auth.enabled": "true", "enforce.auth.schemes": "digest"}) as ensemble:
        with client(ensemble.hosts, auth_data=[("digest", "u:p")]) as zk:
            equal("an auth packet at the start", zk.get("/")[0], b"")


@alone
def other_hashes_and_no_lists(context):
    settings = {"DigestAuthenticationProvider.digestAlg": "SHA-256",
                "DigestAuthenticationProvider.superDigest":
                    "super:wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig="}
    with context.ensemble(1, **settings) as ensemble:
        with client(ensemble.hosts, auth_data=[("digest", "super:test")]) as zk:
            zk.create("/a", acl=CREATOR_ALL_ACL)
            equal("the id is made with SHA-256", zk.get_acls("/a")[0][0].id.id,
                  "super:wjySwxg860UATFtciuZ1lpzrCHrPeov6SPu/ZD56uig=")
            zk.set_acls("/a", [make_digest_acl("nobody", "x", all=True)])
            zk.delete("/a")
            check("and super", zk.exists("/a") is None)
    with context.ensemble(1, skipACL="yes") as ensemble:
        with client(ensemble.hosts) as zk:
            zk.create("/a", b"x", acl=[make_digest_acl("nobody", "x", all=True)])
            equal("no list denies anything", zk.get("/a")[0], b"x")
            check("nor hides", not zk.get_acls("/a")[0][0].id.id.endswith(":x"))
            raises("but a bad one is refused", InvalidACLError, zk.create, "/b",
                   acl=[make_acl("nonsense", "x", all=True)])
    with context.ensemble(1, **{"DigestAuthenticationProvider.enabled": "false"}) as ensemble:
        with opened(ensemble.number(1)) as raw:
            raw.send(struct.pack(">iii", -4, AUTH, 0) + string("digest") + buffer(b"u:p"))
            equal("digest can be turned off", struct.unpack(">iqi", raw.receive()), (-4, 0, AUTH_FAILED))


# ---- Java ----

@alone
def java_logs_in(context):
    def run(ensemble, host: str, password: str, state: str, path: str) -> list[str]:
        jaas = context.home() / "client.jaas"
        jaas.write_text(CLIENT_JAAS % password.replace('"', '\\"'))
        properties = {"java.security.auth.login.config": str(jaas), "zookeeper.fips-mode": "false"}
        ended = subprocess.run(
            context.programs.java_client("JavaAuth", host, state, path, classes=context.classes,
                                         properties=properties),
            timeout=90, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = ended.stdout.splitlines()
        check(f"Java's client sees {state}", "done" in lines, ended.stdout)
        return lines

    for size in (1, 3):
        with with_users(context, size) as ensemble:
            for server in ensemble.servers:
                lines = run(ensemble, server.host, PASSWORD, "SaslAuthenticated", f"/j{server.number}")
                for line in ("who [ip:127.0.0.1, sasl:bob]", "acl sasl:bob", "invalid a@b@c"):
                    check(f"{server.mode()}: {line}", line in lines, lines)
            if size == 1:
                run(ensemble, ensemble.hosts, "wrong", "AuthFailed", "/")
    with with_users(context, 1, sessionRequireClientSASLAuth="true") as ensemble:
        run(ensemble, ensemble.hosts, "wrong", "AuthFailed", "/")
        run(ensemble, ensemble.hosts, PASSWORD, "SaslAuthenticated", "/j")


@alone
def identities_travel_between_both_kinds(context):
    """Each of three servers takes a login and a digest; whoever leads knows them from the forwarded
    request."""
    with with_users(context, 3, ["java", "java", context.kind]) as ensemble:
        for server in ensemble.servers:
            with client(server.host, auth_data=[("digest", "u:p")], **user("root", "toor")) as zk:
                path = f"/by{server.number}"
                zk.create(path, acl=CREATOR_ALL_ACL)
                found = sorted((a.id.scheme, a.id.id) for a in zk.get_acls(path)[0])
                equal(f"{server} as {server.mode()}", found,
                      [("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="), ("sasl", "root")])
                zk.create(path + "/ip", acl=[make_acl("ip", "127.0.0.0/8", all=True)])
                zk.create(path + "/ip/below", acl=OPEN_ACL_UNSAFE)


# ---- our own command line ----

@alone
def the_shell_says_who_it_is(context):
    def cli(server, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([context.programs.zebu, "cli", "-s", server.host, *words], timeout=30,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)

    with context.ensemble(1) as ensemble:
        server = ensemble.number(1)
        with client(server.host) as zk:
            zk.create("/own", b"mine", acl=[make_digest_acl("ann", "s:x", all=True)])
        check("without --auth it is nobody", "NO_AUTH" in cli(server, "get", "/own").stderr)
        equal("with it", cli(server, "--auth", "digest:ann:s:x", "get", "/own").stdout, "mine\n")
        refused = cli(server, "--auth", "nobody:secret", "get", "/own")
        check("a scheme that the server has not", "AUTH_FAILED" in refused.stderr, refused.stderr)
        check("its credentials are not repeated", "secret" not in refused.stderr)


# ---- lists ----

@alone
def ids_that_lists_take(context):
    """Which ids may stand in a list is for each scheme to say."""
    # Not the empty one, which kazoo writes as null.
    names = ["CN=ann", "cn=ann,OU=x+O=y; C=de", 'CN = Ann Example , O="Big, Inc." ,C=US', "CN=",
             "2.5.4.3=ann", "OID.2.5.4.3=ann", "CN=a\\,b\\2C\\c3\\bc=", "CN=a=b", "EMAILADDRESS=a@b.c"]
    no_names = ["ann", "CN=ann,", ",CN=ann", "CN=ann,,C=de", "XY=ann", "=ann", "1.40=ann", "3.1=ann",
                "2=ann", "2.5.=ann", "CN=#", "CN=#0", "CN=#0g", "CN=a<b", 'CN=a"b"', 'CN="a"b', 'CN="a',
                "CN=a\\", "CN=a\\z", "CN=a\\0"]
    table = {
        "world": (["anyone"], ["other"]),
        "digest": (["u:h", ":h", "a:b:"], ["u:", "u", ":", "a:b:c"]),
        "ip": (["1.2.3.4", "1.2.3.4/0", "1.2.3.4/32", "+1.02.003.4"],
               ["1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/", "1.2.3.4/8/8", "1.2.3", "1.2.3.4.5", "1.2.3.256",
                "1.2.3.-1", "1.2.3.", "localhost", "12345::"]),
        "sasl": (["bob", "a/b/c", "zookeeper/host@REALM", "bob@"],
                 ["a/b/c@REALM", "a@b@c", "a@b/c"]),
        "x509": (names, no_names),
        "super": ([], ["x"]),
        "nonsense": ([], ["x"]),
    }
    x509 = {"authProvider.x509": "org.apache.zookeeper.server.auth.X509AuthenticationProvider"}
    with with_users(context, 1, **x509) as ensemble:
        with client(ensemble.hosts) as zk:
            zk.create("/ids")
            for scheme, (valid, invalid) in table.items():
                for name in valid:
                    entry = make_acl(scheme, name, read=True)
                    path = zk.create("/ids/n-", sequence=True, acl=[entry, *OPEN_ACL_UNSAFE])
                    equal(f"{scheme}:{name}", zk.get_acls(path)[0][0], entry)
                for name in invalid:
                    raises(f"not {scheme}:{name}", InvalidACLError, zk.create, "/ids/x",
                           acl=[make_acl(scheme, name, read=True), *OPEN_ACL_UNSAFE])


@alone
def a_list_that_is_null(context):
    """Alone it is an empty one; a multi is unreadable with it and uses no zxid."""
    multi, invalid_acl, marshalling = 14, -114, -5

    def create(name: str, acl: bytes) -> bytes:
        return string(f"/{name}") + NULL + acl + struct.pack(">i", 0)

    def part(kind: int, body: bytes) -> bytes:
        return struct.pack(">i?i", kind, False, -1) + body + struct.pack(">i?i", -1, True, -1)

    empty, open_acl = bytes(4), struct.pack(">ii", 1, 31) + string("world") + string("anyone")
    with context.ensemble(1) as ensemble:
        with opened(ensemble.number(1)) as raw:
            before = raw.request(1, CREATE, create("a", open_acl))[1]
            for what, acl in (("null", NULL), ("empty", empty), ("of negative length", b"\xff\xff\xff\xfe")):
                xid, zxid, error, _ = raw.request(2, CREATE, create("b", acl))
                equal(f"a list that is {what}", (error, zxid - before), (invalid_acl, 1))
                before = zxid
            for kind in (1, 15, 19):
                error = raw.request(3, multi, part(kind, create("b", NULL)))[2]
                equal(f"null in a multi, create {kind}", error, marshalling)
                body = raw.request(4, multi, part(kind, create("b", empty)))[3]
                equal(f"empty in a multi, create {kind}", struct.unpack_from(">i?ii", body)[3], invalid_acl)
                zxid = raw.request(5, CREATE, create(f"c{kind}", open_acl))[1]
                equal("two zxids were used", zxid - before, 2)
                before = zxid
