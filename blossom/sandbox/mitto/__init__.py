"""A stand-in of Mitto: its own process, HTTP only. Its log of the texts that it took is the ground truth of tests.

    python -m blossom.sandbox.mitto --port 0 --ready-file ready.json --log texts.jsonl

`process.StandIn` starts and steers one from Python.
"""
