"""Rows in shards, in this process or on the workers of a cluster."""

from sklhash.sharding.codes import ShardedCodes, is_sharded, sharded_codes
from sklhash.sharding.shards import Shards

__all__ = ["ShardedCodes", "Shards", "is_sharded", "sharded_codes"]
