// co-wechat-api. The host stands in properties, one for each family of calls; with WECHAT_API_URL codes of mini
// programs come from there.
const WechatAPI = require('co-wechat-api');
const { serve, TEXT } = require('./driver.cjs');

const { WECHAT_BASE_URL, WECHAT_API_URL = WECHAT_BASE_URL, WECHAT_APPID, WECHAT_SECRET, WX_TEST_PICTURE } = process.env;

const api = new WechatAPI(WECHAT_APPID, WECHAT_SECRET);
api.prefix = `${WECHAT_BASE_URL}/cgi-bin/`;
api.wxaPrefix = `${WECHAT_API_URL}/wxa/`;

serve(
  {
    call: () => api.sendText('oWitness', TEXT),
    code: async () => (await api.getWXACodeUnlimit('a', 'index')).length,
    ticket: async () => (await api.getTicket()).ticket,
    upload: () => api.uploadImageMedia(WX_TEST_PICTURE),
  },
  async () => api.store?.accessToken,
);
