"""The JSON contract of campaigns: what is read (`inputs`) and what is answered (`answers`)."""
