"""SDKs that people already use, with their tokens from a provider: `wechatpy` and `werobot`."""
