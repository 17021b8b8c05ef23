"""The merchant's pages on people: the list, one person with all that is known of their consent, and its proof.

Above the domains whose facts they show: contacts, consent, customers.
"""
