"""The main job before your eyes: a whole Blossom on this machine, with a stand-in for Mitto.

    bin/demo                          the sample shop; stays until Ctrl-C
    bin/demo --csv FILE [--json]      one file's campaign, from import to report; ends by itself

It knows Blossom as its users do: by its commands and by HTTP. What the figures mean is told in docs/demo.md.
"""
