data "azurerm_subscription" "this" {}

resource "azuread_application" "ci" {
  display_name = "ci"
}

resource "azuread_service_principal" "ci" {
  client_id = azuread_application.ci.client_id
}

resource "azuread_application_federated_identity_credential" "reviews" { # <- azure-federation-pull-request medium
  application_id = azuread_application.ci.id
  display_name   = "reviews"
  audiences      = ["api://AzureADTokenExchange"]
  issuer         = "https://token.actions.githubusercontent.com"
  subject        = "repo:acme/shop:pull_request"
}

resource "azurerm_role_assignment" "ci" { # <- azure-strong-role medium
  scope                = data.azurerm_subscription.this.id
  role_definition_name = "Contributor"
  principal_id         = azuread_service_principal.ci.object_id
}
