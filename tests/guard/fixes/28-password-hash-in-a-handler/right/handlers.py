from fastapi import APIRouter, Depends, HTTPException
from fastapi.security import OAuth2PasswordRequestForm

from .repository import UsersRepository
from .services import PasswordService, UsersService, WrongCredentials

router = APIRouter()


def users_service() -> UsersService:
    return UsersService(UsersRepository(), PasswordService())


@router.post("/auth/login")
async def login(
    form: OAuth2PasswordRequestForm = Depends(),
    users: UsersService = Depends(users_service),
):
    try:
        user = await users.authenticate(form.username, form.password)
    except WrongCredentials:
        raise HTTPException(status_code=401, detail="Wrong name or password.") from None
    return {"user": user.username}
