"""What several roles of one vendor share: error shapes, endpoints, clients. No role imports another role."""
