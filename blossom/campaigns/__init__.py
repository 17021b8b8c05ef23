"""What a merchant plans and sends: a text for an audience, and how it fared. The sending itself is messaging's."""
