"""The loop of the API's documentation, as anyone writes it: what the program is compared with.

Run as a program of its own: ``python loop.py BASE_URL``. Saves TASK.png in the current folder.
"""

import sys
import time

import requests

base_url = sys.argv[1]
headers = {"Authorization": "Bearer sk-of-a-measurement"}
wanted = {
    "model": "seedream-v4.5",
    "prompt": "a red fox in snow",
    "aspect_ratio": "1:1",
    "quality": "2K",
}

answer = requests.post(f"{base_url}/images/generations", headers=headers, json=wanted, timeout=30)
answer.raise_for_status()
task = answer.json()["data"]["task_id"]
while True:
    time.sleep(2)
    answer = requests.get(f"{base_url}/images/status/{task}", headers=headers, timeout=30)
    answer.raise_for_status()
    data = answer.json()["data"]
    if data["status"] == "completed":
        break
    if data["status"] == "failed":
        sys.exit(data.get("error_message"))
image = requests.get(data["result"][0], timeout=30)
image.raise_for_status()
with open(f"{task}.png", "wb") as file:
    file.write(image.content)
