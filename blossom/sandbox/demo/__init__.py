"""The main job before your eyes: a whole Blossom on this machine, with stand-ins for Shopify and Mitto.

    bin/demo                          a shop that installs Blossom; stays until Ctrl-C
    bin/demo --json                   the same; ends by itself
    bin/demo --csv FILE [--json]      one file's campaign, without Shopify; ends by itself

It knows Blossom as its users do: by its commands and by HTTP. What the figures mean is told in docs/demo.md.
"""
