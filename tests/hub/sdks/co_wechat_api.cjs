// co-wechat-api. The host stands in properties, one for each family of calls; with WECHAT_API_URL codes of mini
// programs come from there.
const WechatAPI = require('co-wechat-api');
const { serve, HUB, APPID, KEY, PICTURE, TEXT } = require('./driver.cjs');

const api = new WechatAPI(APPID, KEY);
api.prefix = `${HUB}/cgi-bin/`;
api.wxaPrefix = `${HUB}/wxa/`;

if (process.env.WECHAT_API_URL) api.wxaPrefix = `${process.env.WECHAT_API_URL}/wxa/`;

serve(
  {
    call: () => api.sendText('oWitness', TEXT),
    code: async () => (await api.getWXACodeUnlimit('a', 'index')).length,
    ticket: async () => (await api.getTicket()).ticket,
    upload: () => api.uploadImageMedia(PICTURE),
  },
  async () => api.store?.accessToken,
);
