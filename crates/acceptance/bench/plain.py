"""What the vendor's Python example does, with the standard library alone: a token that has expired is
exchanged, the answer is written over creds.json, the workspace is printed."""

import base64
import json
import os
import time
import urllib.parse
import urllib.request

folder = os.environ["AAC_DIR"]


def read(name):
    with open(os.path.join(folder, name)) as file:
        return file.read().strip()


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


creds = json.loads(read("creds.json"))
token = claims(creds["access_token"])
if token["exp"] < time.time() + 10:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": creds["refresh_token"],
        "client_id": token["client_id"],
    }
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(token["iss"] + "/token", body) as answer:
        creds = json.load(answer)
    with open(os.path.join(folder, "creds.json"), "w") as file:
        json.dump(creds, file)
headers = {
    "Authorization": "Bearer " + creds["access_token"],
    "x-api-project-id": read("client_id.txt"),
    "Accept": "application/json",
}
url = read("aac_url.txt") + "/iam/v1/workspaces/current"
with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
    print(json.load(answer))
