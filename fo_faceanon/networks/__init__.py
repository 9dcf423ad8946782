"""The torch modules: generators and the networks that judge."""
