"""A classifier that answers over HTTP: a page to drop images on, and the same as JSON for programs.

server.py     the process: packages that are needed, the socket, signals
app.py        which request gets which answer
guard.py      who may ask: no page of another site
uploads.py    images as they come in requests, within limits
queue.py      one thread that predicts what all requests bring
page.py       the page, in one file
"""
