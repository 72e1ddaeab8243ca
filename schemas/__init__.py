"""The language everyone speaks: identifiers, records, templates, errors and their texts, codecs, SQL migrations.

Pure functions and bytes; no sockets, no queries. Imports nothing of ours.
"""
