from django.shortcuts import render


async def login_page(request):
    return render(request, "account/login.html")


async def email_page(request):
    user = await request.auser()
    return render(request, "account/email.html", {"email": getattr(user, "email", "")})
