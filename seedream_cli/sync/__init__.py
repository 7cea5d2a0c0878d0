"""Images as build artefacts: from the manifest to a plan, to images, to the lockfile.

Nothing here prints or knows about terminals. Only `image_task` and what uses it calls the API, through
`tasks`.
"""
