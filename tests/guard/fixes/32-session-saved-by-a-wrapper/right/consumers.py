from channels.generic.websocket import AsyncJsonWebsocketConsumer


class CartConsumer(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content, **kwargs):
        cart = self.scope["session"].setdefault("cart", [])
        cart.append(content.get("sku", ""))
        self.scope["session"].modified = True
        await self.send_json({"count": len(cart)})
