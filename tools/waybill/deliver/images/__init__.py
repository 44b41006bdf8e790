"""Images of the stack: which there are, and how they come to a place without the internet."""

from waybill.deliver.images.listing import Image as Image
from waybill.deliver.images.listing import listed as listed
