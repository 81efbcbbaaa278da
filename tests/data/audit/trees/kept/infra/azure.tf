resource "azuread_application" "ci" {
  display_name = "ci"
}

resource "azuread_service_principal" "ci" {
  client_id = azuread_application.ci.client_id
}

resource "azuread_application_federated_identity_credential" "production" {
  application_id = azuread_application.ci.id
  display_name   = "production"
  audiences      = ["api://AzureADTokenExchange"]
  issuer         = "https://token.actions.githubusercontent.com"
  subject        = "repo:acme/shop:environment:production"
}

resource "azurerm_role_assignment" "ci" {
  scope                = azurerm_resource_group.shop.id
  role_definition_name = "Website Contributor"
  principal_id         = azuread_service_principal.ci.object_id
}
