# SPDX-License-Identifier: ISC
"""What the integration tests stand on: a PostgreSQL, a router, raw bytes."""
