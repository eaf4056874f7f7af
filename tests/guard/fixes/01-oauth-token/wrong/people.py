from django.contrib.auth import get_user_model


async def aget_or_create_person(email: str, name: str):
    person, _ = await get_user_model().objects.aget_or_create(
        email=email, defaults={"username": email, "first_name": name}
    )
    return person
