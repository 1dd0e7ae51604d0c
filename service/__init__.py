"""The inference microservice: a photo or a stream in, hands out."""
