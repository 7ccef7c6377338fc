"""What looks at Kong by itself: it asks ``gateway``, makes events by ``sources`` and hands them on to be published."""
