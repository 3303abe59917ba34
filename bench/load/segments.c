/*
 * segments INTERFACE on|off: whether the interface takes TCP segments of many packets at once, as virtual ones do. Off: they are cut
 * into packets before they leave, as a wire needs it.
 */
#include "load.h"
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

int main(int count, char **words)
{
	struct ethtool_value value = { .cmd = ETHTOOL_STSO };
	struct ifreq request = { .ifr_data = (void *)&value };

	if (count != 3)
		return 2;
	value.data = strcmp(words[2], "on") == 0;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", words[1]);
	if (ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCETHTOOL, &request))
		fail("SIOCETHTOOL");
}
