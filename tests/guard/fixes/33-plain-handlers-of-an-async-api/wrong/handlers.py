from .api import Api
from .models import Customer

api = Api("api/")


@api.get("customers/<int:pk>/")
def customer(pk: int):
    found = Customer.objects.get(pk=pk)
    return {"id": found.pk, "name": found.name}


@api.get("customers/")
async def customers():
    return [row async for row in Customer.objects.values("id", "name")[:100]]
