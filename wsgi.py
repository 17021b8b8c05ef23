import gc

gc.disable()  # what an import makes stays: looking through it for garbage was a sixth of the start
from blossom.app import create_app  # noqa: E402
from blossom.platform import clock, db  # noqa: E402

gc.enable()

app = create_app()
with app.app_context():
    clock.follow_in_background(db.engine())
