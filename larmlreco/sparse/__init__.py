"""The sparse convolution engine: kernel maps, convolutions, layers."""
