"""A stand-in of Shopify: its own process, HTTP only, and strict where facts/shopify.md tells how.

    python -m blossom.sandbox.shopify --port 0 --ready-file ready.json --config state.json

`process.StandIn` starts and steers one from Python. One port serves all of it, told apart by the Host header: the APIs
(any host), the admin (`admin.*`) and the shops' storefronts (`*.storefront.test`). See `app.py` for what is where.
"""
