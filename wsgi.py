from blossom.app import create_app
from blossom.platform import clock, db

app = create_app()
with app.app_context():
    clock.follow_in_background(db.engine())
