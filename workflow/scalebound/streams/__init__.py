"""Where training rows come from; `protocol` says what a stream gives, `REGISTRY` which kinds there are."""
