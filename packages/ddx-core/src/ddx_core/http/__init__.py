"""A small HTTP/1.1 server for listeners that anyone in the sandbox can reach: every size and time is limited."""

from .bounds import Activity, Limits
from .message import Hangup, Headers, Request, Response, json, text
from .routes import Handler, Oversize, Route, Routes
from .server import open_tcp_listener, open_unix_listener, serve_http

__all__ = [
    "Activity",
    "Handler",
    "Hangup",
    "Headers",
    "Limits",
    "Oversize",
    "Request",
    "Response",
    "Route",
    "Routes",
    "json",
    "open_tcp_listener",
    "open_unix_listener",
    "serve_http",
    "text",
]
