"""The plugins that come with astrollava: one module a service.

Each is named in the entry-point group ``astrollava`` and reaches the library only through
`astrollava.hooks`, as anybody's would.
"""
