from django.urls import path

from . import views

urlpatterns = [
    path("accounts/login/", views.login_page, name="account_login"),
    path("accounts/email/", views.email_page, name="account_email"),
]
