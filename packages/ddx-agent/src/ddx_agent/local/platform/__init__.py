"""Lambda as its users see it: opened for one function, invoked from Python or over HTTP, shut down.

opening      `open_platform`: the listeners, the sandbox, its APIs
platform     what is done with an open one
invoke_api   the Invoke operation that AWS's SDKs call
"""
