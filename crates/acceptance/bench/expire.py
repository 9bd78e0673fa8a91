"""Makes the access token in creds.json an old one, so that the next call has to rotate. Nobody but the
server could tell, and the server is not asked."""

import base64
import json
import os

path = os.path.join(os.environ["AAC_DIR"], "creds.json")
with open(path) as file:
    creds = json.load(file)
head, payload, signature = creds["access_token"].split(".")
claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
claims["iat"] -= 1_000_000
claims["exp"] = claims["iat"] + 300
payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
creds["access_token"] = ".".join([head, payload, signature])
with open(path, "w") as file:
    json.dump(creds, file)
