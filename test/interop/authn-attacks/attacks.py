"""Known attacks on OpenID providers, tried on a running sextant-authn. Exit 0 when every one fails as it should."""
import base64, hashlib, html, http.client, json, os, re, signal, socket, ssl, subprocess, sys, threading, time
import urllib.parse as url

ISSUER, REDIRECT, API = os.environ["ISSUER"], os.environ["REDIRECT"], os.environ["AUDIENCE"]
PASSWORD, SECRET = os.environ["PASSWORD_"], os.environ["SERVICE_SECRET"]
PORT = url.urlsplit(ISSUER).port
TLS = ssl.create_default_context(cafile=os.environ["CA"])
failures = count = 0


def check(name, holds, seen=""):
    global failures, count
    count += 1
    if not holds:
        failures += 1
        print(f"not ok {count} - {name}: {seen}")
    else:
        print(f"ok {count} - {name}")


def request(method, path, form=None, headers=None, cookies=None):
    connection = http.client.HTTPSConnection("localhost", PORT, context=TLS, timeout=30)
    headers = dict(headers or {})
    if cookies:
        headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in cookies.items())
    if isinstance(form, dict):
        form = url.urlencode(form)
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    connection.request(method, path, form, headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    for key, value in response.getheaders():
        if cookies is not None and key.lower() == "set-cookie":
            pair = value.split(";")[0].split("=", 1)
            cookies[pair[0]] = pair[1]
    return response.status, {k.lower(): v for k, v in response.getheaders()}, text


def b64(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def claims(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def pkce():
    verifier = b64(os.urandom(32))
    return verifier, b64(hashlib.sha256(verifier.encode()).digest())


def authorize_path(challenge, **change):
    query = dict(response_type="code", client_id="portal", redirect_uri=REDIRECT, scope="openid profile email", state="s&<1>",
                 nonce="n", code_challenge=challenge, code_challenge_method="S256")
    query.update(change)
    return "/authorize?" + url.urlencode({k: v for k, v in query.items() if v is not None})


def csrf(page):
    return html.unescape(re.search(r'name="csrf" value="([^"]+)"', page).group(1))


def sign_in(cookies, user="ana", password=PASSWORD, **change):
    """Returns the verifier and what the client would get: its query, or (status, page) of a refusal."""
    verifier, challenge = pkce()
    status, headers, text = request("GET", authorize_path(challenge, **change), cookies=cookies)
    where = headers.get("location", "")
    while where.startswith("/interaction"):
        status, headers, text = request("GET", where, cookies=cookies)
        step = "/login" if 'type="password"' in text else "/consent"
        form = dict(csrf=csrf(text))
        if step == "/login":
            form.update(username=user, password=password)
        status, headers, text = request("POST", where + step, form, cookies=cookies)
        if status != 303:
            return verifier, (status, text)
        where = headers["location"]
    return verifier, dict(url.parse_qsl(url.urlsplit(where).query))


def token(headers=None, **form):
    status, _, text = request("POST", "/token", form, headers)
    return status, json.loads(text)


def redeem(verifier, answer, **change):
    form = dict(grant_type="authorization_code", client_id="portal", code=answer["code"], redirect_uri=REDIRECT, code_verifier=verifier)
    form.update(change)
    return token(**form)


def refresh(value, **change):
    return token(**{**dict(grant_type="refresh_token", client_id="portal", refresh_token=value), **change})


def userinfo(value):
    return request("GET", "/userinfo", headers={"Authorization": "Bearer " + value})


def basic(name, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def together(n, fn):
    results = []
    threads = [threading.Thread(target=lambda: results.append(fn())) for _ in range(n)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return results


def redirects():
    for bad in (REDIRECT + "/evil", "https://app.example.evil.test/cb", "https://evil.test/?" + REDIRECT, REDIRECT + "/../evil", REDIRECT + "%2f",
                "https://appxexample/cb", "http://127.0.0.1@evil.test", "http://localhost:1@evil.test", "javascript:alert(1)", "data:text/html,x",
                "HTTPS://app.example/cb", "http://app.example/cb", REDIRECT + "?x=1", REDIRECT + "#f", ""):
        for mode in (None, "form_post"):
            status, headers, _ = request("GET", authorize_path(pkce()[1], redirect_uri=bad, response_mode=mode, prompt="none"))
            check(f"redirect to {bad!r} ({mode})", status == 400 and "location" not in headers, (status, headers))
    status, headers, _ = request("GET", authorize_path(pkce()[1]) + "&redirect_uri=https://evil.test")
    check("two redirect_uri", status == 400 and "location" not in headers, status)
    status, headers, _ = request("POST", authorize_path(pkce()[1]), {"client_id": "portal"})
    check("client_id in query and body", status == 400 and "location" not in headers, status)


def code_flow(session):
    for name, change in (("no challenge", dict(code_challenge=None)), ("plain", dict(code_challenge_method="plain")),
                         ("no method", dict(code_challenge_method=None)), ("short challenge", dict(code_challenge="abc"))):
        _, headers, _ = request("GET", authorize_path(pkce()[1], **change))
        check(f"PKCE: {name}", "error=invalid_request" in headers.get("location", ""), headers)
    for name, verifier in (("another", pkce()[0]), ("42 letters", "a" * 42), ("129 letters", "a" * 129), ("odd letters", "a" * 42 + "!"), ("none", "")):
        right, answer = sign_in(session)
        first = redeem(right, answer, code_verifier=verifier)
        check(f"verifier: {name}", first[1].get("error") == "invalid_grant" and redeem(right, answer)[0] == 400, first)
    verifier, answer = sign_in(session)
    results = together(8, lambda: redeem(verifier, answer)[0])
    check("one code, eight at once", results.count(200) == 1, results)
    verifier, answer = sign_in(session)
    given = redeem(verifier, answer)[1]
    check("code replay", redeem(verifier, answer)[1].get("error") == "invalid_grant")
    check("... revokes what it gave", userinfo(given["access_token"])[0] == 401 and refresh(given["refresh_token"])[0] == 400)
    verifier, answer = sign_in(session)
    check("code of another client", redeem(verifier, answer, client_id="other")[1].get("error") == "invalid_grant")
    check("... is spent", redeem(verifier, answer)[0] == 400)
    verifier, answer = sign_in(session)
    check("another redirect_uri at the token endpoint", redeem(verifier, answer, redirect_uri="https://app.example/other")[0] == 400)
    for kind in ("token", "id_token", "code token", "code id_token"):
        _, headers, _ = request("GET", authorize_path(pkce()[1], response_type=kind))
        check(f"response_type {kind}", "error=unsupported_response_type" in headers.get("location", ""), headers)
    for name, change, error in (("scope", dict(scope="openid admin"), "invalid_scope"), ("resource", dict(resource="https://x"), "invalid_target"),
                                ("request object", dict(request="a.b.c"), "request_not_supported"),
                                ("request_uri", dict(request_uri="http://169.254.169.254/"), "request_uri_not_supported"),
                                ("prompt none without session", dict(prompt="none"), "login_required"), ("prompt none login", dict(prompt="none login"), "invalid_request")):
        _, headers, _ = request("GET", authorize_path(pkce()[1], **change))
        check(f"authorize: {name}", f"error={error}" in headers.get("location", ""), headers)
    _, headers, _ = request("GET", authorize_path(pkce()[1], prompt="login"), cookies=dict(session))
    check("prompt=login asks again", "/interaction/" in headers["location"], headers)
    check("password grant", token(basic("service", SECRET), grant_type="password", username="ana", password=PASSWORD)[1]["error"] == "unsupported_grant_type")


def forms():
    cookies = {}
    _, headers, _ = request("GET", authorize_path(pkce()[1]), cookies=cookies)
    page = headers["location"]
    check("an interaction belongs to its browser", request("GET", page)[0] == 400)
    status, headers, text = request("GET", page, cookies=cookies)
    check("page headers", "default-src 'none'" in headers["content-security-policy"] and "frame-ancestors 'none'" in headers["content-security-policy"]
          and headers["x-frame-options"] == "DENY" and headers["referrer-policy"] == "no-referrer" and headers["cache-control"] == "no-store", headers)
    check("names are escaped", "Portal &lt;b&gt;" in text and "<b>" not in text)
    form = dict(username="ana", password=PASSWORD)
    used = csrf(text)
    check("forged form", request("POST", page + "/login", dict(form, csrf="x" * 43), cookies=cookies)[0] == 403)
    check("spent form", request("POST", page + "/login", dict(form, csrf=used), cookies=cookies)[0] == 403)
    for name, extra in (("foreign Origin", {"Origin": "https://evil.test"}), ("cross-site", {"Sec-Fetch-Site": "cross-site"})):
        fresh = csrf(request("GET", page, cookies=cookies)[2])
        check(name, request("POST", page + "/login", dict(form, csrf=fresh), extra, cookies)[0] == 403)
    fixed = dict(cookies, **{"__Host-sextant": "A" * 43})
    fresh = csrf(request("GET", page, cookies=fixed)[2])
    status, headers, _ = request("POST", page + "/login", dict(form, csrf=fresh), {"Origin": ISSUER}, fixed)
    check("login makes a new session", status == 303 and fixed["__Host-sextant"] != "A" * 43, status)
    flags = headers["set-cookie"]
    check("cookie flags", all(f in flags for f in ("__Host-", "Secure", "HttpOnly", "SameSite=Lax", "Path=/")), flags)
    status, headers, text = request("GET", authorize_path(pkce()[1], login_hint='"><script>alert(1)</script>'), cookies=cookies)
    text = request("GET", headers["location"], cookies=cookies)[2]
    check("login_hint is escaped", "<script>" not in text)


def tokens(session):
    verifier, answer = sign_in(session)
    check("iss in the answer", answer["iss"] == ISSUER and answer["state"] == "s&<1>", answer)
    given = redeem(verifier, answer)[1]
    access = given["access_token"]
    for body in (claims(access), claims(given["id_token"]), json.loads(userinfo(access)[2])):
        check("no rights in it", not {"role", "roles", "groups", "permissions", "entitlements"} & set(body), body)
    check("refresh: more scope", refresh(given["refresh_token"], scope="openid offline_access")[1].get("error") == "invalid_scope")
    check("refresh: another client", refresh(given["refresh_token"], client_id="other")[1].get("error") == "invalid_grant")
    race = together(20, lambda: refresh(given["refresh_token"]))
    check("twenty refreshes at once", {r[0] for r in race} == {200} and len({r[1]["refresh_token"] for r in race}) == 1, race[:2])
    head, body, signature = access.split(".")
    changed = b64(json.dumps({**claims(access), "sub": "someone"}).encode())
    for name, bad in (("alg none", b64(b'{"alg":"none","typ":"at+jwt"}') + "." + body + "."), ("changed claims", f"{head}.{changed}.{signature}"),
                      ("ID token", given["id_token"]), ("HS256 with public text", b64(b'{"alg":"HS256","typ":"at+jwt"}') + "." + body + "." + signature),
                      ("dots", "." * 6000), ("blank in it", head + " ." + body + "." + signature)):
        check(f"userinfo: {name}", userinfo(bad)[0] in (401, 400, 431))
    check("token in the query", request("GET", "/userinfo?access_token=" + access)[0] == 401)
    check("scheme in any case", request("GET", "/userinfo", headers={"Authorization": "bEaReR   " + access})[0] == 200)
    check("introspection without authentication", request("POST", "/introspect", dict(token=access))[0] == 401)
    check("introspection by a public client", request("POST", "/introspect", dict(token=access, client_id="portal"))[0] == 401)
    for name, value in (("foreign refresh token", given["refresh_token"]), ("ID token", given["id_token"]), ("nonsense", "x")):
        check(f"introspection: {name}", request("POST", "/introspect", dict(token=value), basic("service", SECRET))[2] == '{"active":false}')
    request("POST", "/revoke", dict(token=access), basic("service", SECRET))
    check("revocation of a foreign token changes nothing", userinfo(access)[0] == 200)
    check("revocation of nonsense is 200", request("POST", "/revoke", dict(token="x", client_id="portal"))[0] == 200)
    request("POST", "/revoke", dict(token=access, client_id="portal"))
    check("a revoked token is dead", userinfo(access)[0] == 401)


def clients():
    grant = dict(grant_type="client_credentials")
    check("service", token(basic("service", SECRET), **grant)[0] == 200)
    check("wrong secret", token(basic("service", "wrong"), **grant)[1]["error"] == "invalid_client")
    check("unknown client", token(basic("nobody", "wrong"), **grant)[1] == token(basic("service", "wrong"), **grant)[1])
    check("secret left away", token(client_id="service", **grant)[0] == 401)
    check("two methods", token(basic("service", SECRET), client_id="service", client_secret=SECRET, **grant)[0] == 400)
    check("scope is refused", token(basic("service", SECRET), scope="orders:write", **grant)[1]["error"] == "invalid_scope")
    check("audience it may not have", token(basic("service", SECRET), resource="https://x", **grant)[1]["error"] == "invalid_target")
    for name, registration in (("roles", {"roles": ["x"]}), ("claim mapping", {"id_token_claims": ["userRoles"]}), ("access token claims", {"access_token_claims": {"a": 1}}),
                               ("permission scope", {"scope": "openid orders:write"}), ("wild redirect", {"redirect_uris": ["https://*.example/cb"]}),
                               ("fragment", {"redirect_uris": ["https://a.example/#x"]}), ("http", {"redirect_uris": ["http://a.example/"]})):
        body = json.dumps({"client_id": "bad", "redirect_uris": ["https://a.example/cb"], **registration})
        run = subprocess.run([os.environ["AUTHN"], "client", "add"], input=body.encode(), capture_output=True)
        check(f"registration refused: {name}", run.returncode == 1 and len(run.stderr) > 30, run)


def logout(session):
    verifier, answer = sign_in(session)
    given = redeem(verifier, answer)[1]
    status, _, text = request("GET", "/logout", cookies=dict(session))
    check("logout without a hint asks", status == 200 and "Sign out?" in text, status)
    status, headers, _ = request("GET", "/logout?" + url.urlencode(dict(client_id="portal", post_logout_redirect_uri="https://evil.test")), cookies=dict(session))
    check("logout does not redirect anywhere", status == 400 and "location" not in headers)
    old = dict(session)
    status, headers, _ = request("GET", "/logout?" + url.urlencode(dict(id_token_hint=given["id_token"], post_logout_redirect_uri="https://app.example/bye", state="x y")), cookies=session)
    check("logout", status == 303 and headers["location"] == "https://app.example/bye?state=x%20y", headers)
    check("tokens end with the session", userinfo(given["access_token"])[0] == 401 and refresh(given["refresh_token"])[0] == 400)
    _, headers, _ = request("GET", authorize_path(pkce()[1], prompt="none"), cookies=old)
    check("the old cookie is dead", "login_required" in headers["location"], headers)


def disable():
    cookies = {}
    verifier, answer = sign_in(cookies, user="bob")
    given = redeem(verifier, answer)[1]
    subprocess.run([os.environ["AUTHN"], "user", "disable", "bob"], check=True, capture_output=True)
    check("disabled: tokens", userinfo(given["access_token"])[0] == 401 and refresh(given["refresh_token"])[0] == 400)
    check("disabled: session", "/interaction/" in request("GET", authorize_path(pkce()[1]), cookies=cookies)[1]["location"])
    known = sign_in({}, user="bob")[1]
    unknown = sign_in({}, user="nobody")[1]
    strip = lambda page: re.sub(r'/interaction/\w+|value="[^"]*"', "", page)
    check("disabled, unknown: one answer", known[0] == unknown[0] == 403 and strip(known[1]) == strip(unknown[1]), known)


def hostile_http():
    for name, raw in (("space before colon", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"), ("two lengths", b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
                      ("length and chunks", b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                      ("no request", b"\x00\x01\x02\r\n\r\n")):
        plain = socket.create_connection(("127.0.0.1", PORT), 10)
        wire = TLS.wrap_socket(plain, server_hostname="localhost")
        wire.sendall(raw)
        got = wire.recv(200)
        wire.close()
        check(f"HTTP: {name}", got.startswith(b"HTTP/1.1 4") or got == b"", got)
    check("a large form", request("POST", "/token", "a=" + "x" * 300000, {"Content-Type": "application/x-www-form-urlencoded"})[0] == 413)
    check("a long password", sign_in({}, password="x" * 5000)[1][0] == 403)
    check("hostile Host header", "evil" not in request("GET", "/.well-known/openid-configuration", headers={"Host": "evil.test"})[2])


def guessing():
    seen = [sign_in({}, password="wrong")[1][0] for _ in range(7)]
    check("guessing is slowed", seen[:4] == [403] * 4 and 429 in seen, seen)


def crash(session):
    """kill -9 between redemption and the next request: what was spent stays spent, what was given stays good."""
    verifier, answer = sign_in(session)
    given = redeem(verifier, answer)[1]
    unspent_verifier, unspent = sign_in(session)
    os.kill(int(os.environ["AUTHN_PID"]), signal.SIGKILL)
    time.sleep(0.3)
    log = open(os.environ["WORK"] + "/authn2.log", "w")
    again = subprocess.Popen([os.environ["AUTHN"]], stderr=log)
    try:
        for _ in range(100):
            try:
                if request("GET", "/healthz")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        check("crash: tokens live on", userinfo(given["access_token"])[0] == 200)
        check("crash: an unspent code still works once", redeem(unspent_verifier, unspent)[0] == 200 and redeem(unspent_verifier, unspent)[0] == 400)
        check("crash: a spent code stays spent", redeem(verifier, answer)[1].get("error") == "invalid_grant")
        check("crash: the session lives on", "code" in sign_in(session)[1])
    finally:
        again.terminate()
        check("a clean end", again.wait(15) == 0)


session = {}
sign_in(session)
redirects()
code_flow(session)
forms()
tokens(session)
clients()
disable()
hostile_http()
logout(session)
session = {}
sign_in(session)
crash_session = dict(session)
guessing()
crash(crash_session)
print(f"1..{count}")
sys.exit(1 if failures else 0)
