# SPDX-License-Identifier: Apache-2.0
# make images        dom0's and the guests' images (see image/build.py)
# make test-image    what is in them is what is in Debian's packages

image_out := $(B)/image
image_src := $(shell find image -type f ! -name '*.pyc')

images: $(image_out)/manifest

$(image_out)/manifest: $(image_src)
	@mkdir -p $(@D)
	@python3 -B image/build.py $(@D)

test-image: images
	@python3 -B image/check.py $(image_out)

.PHONY: images test-image
