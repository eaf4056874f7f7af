import json

from fastapi import APIRouter, HTTPException, WebSocket, WebSocketDisconnect

from .limits import UsageLimiter

chat_router = APIRouter()

per_minute = UsageLimiter(20, 60, window_seconds=60, bucket="chat_minute")
per_day = UsageLimiter(100, 600, window_seconds=86400, bucket="chat_day")


async def answer(websocket: WebSocket, message: dict):
    await websocket.send_text(json.dumps({"echo": message.get("q", "")}))


@chat_router.websocket("/ws")
async def chat_socket(websocket: WebSocket):
    await websocket.accept()
    try:
        while True:
            message = await websocket.receive_json()
            try:
                per_minute.check_socket(websocket)
                per_day.check_socket(websocket)
            except HTTPException as refused:
                await websocket.send_text(json.dumps({"error": refused.detail}))
                continue
            await answer(websocket, message)
    except WebSocketDisconnect:
        return
