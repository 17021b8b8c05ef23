"""Pure rules of texts: nothing here knows of Flask, a database or the network.

segments    how many parts a text takes, exactly            values      what may stand in for a variable
characters  what makes a text dear, and its cure            markup      where the Liquid in a text begins and ends
sender      who a text comes from                           grammar     what that Liquid may say
opt_out     how a text says "no more of these"              filters     money, date, default, titlecase, …
catalogue   which variables a trigger knows                 dates       the patterns of `date`
naming      names of templates                              language    compile a text, render it for a person
capitals    Greek, variables too, in GSM capitals       cures       what of all that saves, measured
estimate    what a text will take, by names' sizes alone    linter      advice before sending
                                                            preview     all of it for one text, as typed
"""
