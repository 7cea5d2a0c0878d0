"""The polling loop of the API's documentation, as the reference: ``python loop.py BASE_URL``."""

import sys
import time

import httpx

BODY = {"model": "seedream-v4.5", "prompt": "a red fox", "aspect_ratio": "1:1", "quality": "2K"}

base_url = sys.argv[1]
with httpx.Client(headers={"Authorization": "Bearer sk-benchmark"}, timeout=30) as client:
    response = client.post(f"{base_url}/images/generations", json=BODY).raise_for_status()
    task = response.json()["data"]["task_id"]
    while True:
        time.sleep(2)
        data = client.get(f"{base_url}/images/status/{task}").raise_for_status().json()["data"]
        if data["status"] == "completed":
            break
        if data["status"] == "failed":
            sys.exit(data.get("error_message"))
image = httpx.get(data["result"][0], timeout=30).raise_for_status()
with open(f"{task}.png", "wb") as file:
    file.write(image.content)
