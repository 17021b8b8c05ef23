from blossom.platform.api import Api

api = Api("campaigns")
