/* SPDX-License-Identifier: GPL-2.0 */
int hold(struct __sk_buff *skb)
{
	return DROP;
}
